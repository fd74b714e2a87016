import type { Chunk, Content } from '../content/content.ts';

/** As much as one read of a client's answer takes. */
const FIRST_READ_BYTES = 1024 * 1024;

/** Never aborted: opening takes one read of a file, and belongs to whoever opens. */
const UNABORTED = new AbortController().signal;

/**
 * The same content, its first bytes read already: so a file that cannot be read is found out while the request can
 * still be answered otherwise. They are handed to the first read there, once. Takes `content` over, failing or not.
 */
export async function readAhead(
  content: Content,
  position: number,
  limitBytes = FIRST_READ_BYTES,
): Promise<Content> {
  const { sizeBytes } = content;
  if (position >= sizeBytes) return content;
  let ready: Chunk | undefined;
  try {
    ready = await content.read(position, Math.min(limitBytes, sizeBytes - position), UNABORTED);
  } catch (error) {
    content.close();
    throw error;
  }
  const take = (): Chunk | undefined => {
    const taken = ready;
    ready = undefined;
    return taken;
  };
  return {
    sizeBytes,
    read: async (from, limit, signal) => {
      const chunk = take();
      if (chunk === undefined) return content.read(from, limit, signal);
      if (from !== position || signal.aborted) {
        chunk.release();
        return content.read(from, limit, signal);
      }
      return { bytes: chunk.bytes.subarray(0, limit), release: () => chunk.release() };
    },
    atRest: () => {
      take()?.release();
      return content.atRest?.();
    },
    close: () => {
      take()?.release();
      content.close();
    },
  };
}
