import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts, ServerProcess } from './server-process.ts';
import type { LineOptions } from './wide-area-line.ts';

export interface LineRelay {
  readonly process: ServerProcess;
  readonly url: string;
}

/** In front of a server of this machine: a process of its own that delays, and caps each connection. */
export async function startLineRelay(dir: string, targetUrl: string, line: LineOptions): Promise<LineRelay> {
  const [port = 0] = await freePorts(1);
  const url = `http://127.0.0.1:${port}`;
  const script = fileURLToPath(new URL('line-relay-child.js', import.meta.url));
  const server = await ServerProcess.start({
    file: process.execPath,
    args: [script, String(port), new URL(targetUrl).port, String(line.delayMs), String(line.bytesPerSecond)],
    logFile: join(dir, 'relay.log'),
    readyUrl: `${url}/v2/`,
  });
  return { process: server, url };
}
