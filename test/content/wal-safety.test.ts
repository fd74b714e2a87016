import { expect, it } from 'vitest';
import { walSafety } from '../../src/content/wal-safety.ts';
import { mountedFuse, mountedTmpfs } from '../support/mounts.ts';
import { describeWith } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';

it('a write-ahead log is safe on a local disk', async () => {
  expect(await walSafety(await tempDir())).toEqual({ isSafe: true, fileSystem: undefined });
});

it.each([
  ['ext4', 0xef53n, undefined],
  ['xfs', 0x58465342n, undefined],
  ['btrfs', 0x9123683en, undefined],
  ['overlayfs', 0x794c7630n, undefined],
  ['tmpfs', 0x01021994n, undefined],
  ['zfs', 0x2fc12fc1n, undefined],
  ['NFS', 0x6969n, 'NFS'],
  ['virtiofs', 0x65735546n, 'FUSE'],
  ['9p', 0x01021997n, '9p'],
  ['CIFS', 0xff534d42n, 'CIFS'],
  ['CIFS with its sign extended', 0xffffffffff534d42n, 'CIFS'],
  ['SMB', 0xfe534d42n, 'SMB'],
])('it knows %s by its type', async (_name, type, fileSystem) => {
  expect(await walSafety('/', () => Promise.resolve(type))).toEqual({
    isSafe: fileSystem === undefined,
    fileSystem,
  });
});

describeWith(
  { programs: ['mount', 'umount', 'bindfs'], root: true, mounts: ['fuse'] },
  'of a real mount',
  () => {
    it('FUSE is told from memory', async () => {
      expect(await walSafety(await mountedFuse())).toEqual({ isSafe: false, fileSystem: 'FUSE' });
      expect(await walSafety(await mountedTmpfs('size=1m'))).toMatchObject({ isSafe: true });
    });
  },
);
