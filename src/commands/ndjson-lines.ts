const LINE_LENGTH_LIMIT = 1024 * 1024;

/** The documents of an NDJSON body; blank lines mean nothing. @throws on what is none, and what the body throws */
export async function* ndjsonLines(body: AsyncIterable<Buffer>): AsyncGenerator<unknown, void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > LINE_LENGTH_LIMIT) throw new Error('a line is too long');
    for (const line of lines) if (line.trim() !== '') yield JSON.parse(line) as unknown;
  }
}
