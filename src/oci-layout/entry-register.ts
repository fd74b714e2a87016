import { posix } from 'node:path';
import { type ArchiveEntry, ENTRY_COUNT_LIMIT } from './image-archive.ts';
import { LayoutError } from './layout-error.ts';

/** Of a tar's header, as tar-stream gives it. */
export interface EntryHeader {
  readonly name: string;
  readonly type: string | null;
  readonly size: number;
  readonly linkname?: string | null;
  readonly pax?: unknown;
}

const PATH_LENGTH_LIMIT = 1024;
const REMARK_COUNT_LIMIT = 100;
/** What is content by its name: twice the same is no contradiction. */
const CONTENT = /^blobs\/[a-z0-9]+\/[0-9a-f]+$/;

/** What an archive holds, as its headers say it: takes regular files alone, each path once. */
export class EntryRegister {
  readonly entries = new Map<string, ArchiveEntry>();
  readonly remarks: string[] = [];
  readonly #name: string;
  readonly #links = new Map<string, string>();
  #count = 0;

  /** @param name of the archive, for errors */
  constructor(name: string) {
    this.#name = name;
  }

  /**
   * @returns the entry, when it is a regular file that is here for the first time
   * @throws LayoutError for what no program writes that means well
   */
  add({ name, type, size, linkname, pax }: EntryHeader): ArchiveEntry | undefined {
    this.#count += 1;
    if (this.#count > ENTRY_COUNT_LIMIT)
      throw new LayoutError('too-large', `${this.#name}: it has more than ${ENTRY_COUNT_LIMIT} entries`);
    const path = this.#pathOf(name);
    if (type === null || isSparse(pax))
      throw this.#refused(name, 'is of a kind that no image has (sparse, or of more than one volume)');
    if (type === 'directory') {
      if (size !== 0) throw this.#refused(name, 'is a directory with content');
      return undefined;
    }
    if (path === '') throw this.#refused(name, 'has no name');
    if (type === 'link' || type === 'symlink') {
      this.#addLink(path, type, linkname ?? '');
      return undefined;
    }
    if (type !== 'file' && type !== 'contiguous-file') {
      this.#remark(`${shown(path)}: is no file (${type}), passed over`);
      return undefined;
    }
    if (!Number.isSafeInteger(size)) throw this.#refused(name, 'has an impossible size');
    const known = this.entries.get(path);
    if (known !== undefined || this.#links.has(path)) {
      if (known?.sizeBytes === size && CONTENT.test(path)) return undefined;
      throw this.#refused(name, 'is there twice');
    }
    const entry = { path, sizeBytes: size };
    this.entries.set(path, entry);
    return entry;
  }

  linkedTo(path: string): string | undefined {
    return this.#links.get(path);
  }

  #addLink(path: string, type: 'link' | 'symlink', target: string): void {
    if (this.entries.has(path) || this.#links.has(path)) throw this.#refused(path, 'is there twice');
    // Hard links are named from the archive's root, symbolic ones from where they are.
    const full = type === 'link' ? posix.normalize(target) : posix.join(posix.dirname(path), target);
    const isInside = target !== '' && !target.startsWith('/') && full !== '..' && !full.startsWith('../');
    const isKept = isInside && full.length <= PATH_LENGTH_LIMIT;
    if (isKept) this.#links.set(path, full);
    // docker save has links where a layer is there twice, and skopeo beside its layers.
    if (!isKept || CONTENT.test(path)) this.#remark(`${shown(path)}: is a link, passed over`);
  }

  #pathOf(name: string): string {
    const path = name.replace(/^(?:\.\/+)+/, '').replace(/\/+$/, '');
    if (path === '' || path === '.') return '';
    if (path.length > PATH_LENGTH_LIMIT) throw this.#refused(name, 'has too long a path');
    const parts = path.split('/');
    if (parts.some((part) => part === '' || part === '.' || part === '..') || /[\0\\]/.test(path))
      throw this.#refused(name, 'has a path that leads elsewhere');
    return path;
  }

  #remark(text: string): void {
    if (this.remarks.length < REMARK_COUNT_LIMIT) this.remarks.push(text);
  }

  #refused(name: string, what: string): LayoutError {
    return new LayoutError('invalid', `${this.#name}: the entry ${shown(name)} ${what}`);
  }
}

/** A name from outside, for one line of text. */
export function shown(name: string): string {
  const short = name.length > 200 ? `${name.slice(0, 200)}…` : name;
  return /^[\w./:@+=-]+$/.test(short) ? short : JSON.stringify(short);
}

/** GNU's newer kinds are regular files with words beside; its older one has a type that tar-stream does not know. */
function isSparse(pax: unknown): boolean {
  const named = typeof pax === 'object' && pax !== null ? Object.keys(pax) : [];
  return named.some((key) => key.startsWith('GNU.sparse.'));
}
