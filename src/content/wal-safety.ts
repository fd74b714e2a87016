import { statfs } from 'node:fs/promises';

/** What is known of the file system that a data directory lies on. */
export interface WalSafety {
  /** Whether SQLite may use a write-ahead log there. */
  readonly isSafe: boolean;
  /** Its name, where it is not safe. */
  readonly fileSystem: string | undefined;
}

/**
 * File systems of other machines, or of other processes on this one, by the type that statfs(2) tells: they promise less
 * about locks, memory maps and the order of writes than a write-ahead log needs (sqlite.org/wal.html), and indexes on
 * virtiofs and NFS were seen to break within minutes.
 */
const UNSAFE: ReadonlyMap<bigint, string> = new Map([
  [0x6969n, 'NFS'],
  [0x65735546n, 'FUSE'], // and virtiofs, which has no type of its own
  [0x01021997n, '9p'],
  [0x517bn, 'SMB'],
  [0xff534d42n, 'CIFS'],
  [0xfe534d42n, 'SMB'],
  [0x564cn, 'NCP'],
  [0x5346414fn, 'AFS'],
  [0x6b414653n, 'AFS'],
  [0x73757245n, 'Coda'],
  [0x00c36400n, 'Ceph'],
  [0x0bd00bd0n, 'Lustre'],
  [0x19830326n, 'BeeGFS'],
  [0x47504653n, 'GPFS'],
  [0x20030528n, 'OrangeFS'],
  [0x01161970n, 'GFS2'],
  [0x7461636fn, 'OCFS2'],
  [0x786f4256n, 'VirtualBox shared folders'],
  [0xbacbacbcn, 'VMware shared folders'],
  [0x00c0ffeen, 'hostfs'],
]);

/** Linux's types, 32 bits of them; other systems number theirs as they like, and count as safe. */
export async function walSafety(
  dataDir: string,
  typeOf: (path: string) => Promise<bigint> = statfsType,
): Promise<WalSafety> {
  const fileSystem = UNSAFE.get(BigInt.asUintN(32, await typeOf(dataDir)));
  return { isSafe: fileSystem === undefined, fileSystem };
}

async function statfsType(path: string): Promise<bigint> {
  return (await statfs(path, { bigint: true })).type;
}
