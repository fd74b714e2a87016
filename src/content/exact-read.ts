import { ContentError } from './content-error.ts';
import type { FileHandle, FileSystem } from './file-system.ts';

/** @throws ContentError `damaged` when the file ends before `length` bytes. */
export async function readExactly(
  fileSystem: FileSystem,
  file: FileHandle,
  into: Uint8Array,
  length: number,
  position: number,
): Promise<void> {
  for (let done = 0; done < length;) {
    const rest = done === 0 ? into : into.subarray(done);
    const read = await fileSystem.read(file, rest, length - done, position + done);
    if (read === 0) throw new ContentError('damaged', 'the file is shorter than it should be');
    done += read;
  }
}
