import { type IncomingMessage, request as plainRequest, type RequestOptions } from 'node:http';
import { request as secureRequest } from 'node:https';
import type { ListenerConfig } from '../config.ts';
import type { CommandIo } from './command-io.ts';
import { type ConfigOption, readConfiguration, WRONG_CONFIGURATION } from './configuration.ts';
import { reachable } from './remote-api.ts';

const WELL = 0;
const FAILED = 1;
const ANSWER_LIMIT_MS = 5000;
const TEXT_BYTES_LIMIT = 4096;

export interface HealthOptions extends ConfigOption {
  /** Whether it can serve and store, in place of whether it lives. */
  readonly ready?: boolean | undefined;
}

/**
 * Asks the server of this configuration, at its admin listener, how it is; for health checks of containers, which need
 * no other program then.
 * @returns the exit code: 0 well, 1 not, or no answer within 5 s, 2 configuration
 */
export async function health({ ready = false, ...options }: HealthOptions, io: CommandIo): Promise<number> {
  const config = readConfiguration(options, io, 'nothing was asked');
  if (config === undefined) return WRONG_CONFIGURATION;
  const { listen } = config.admin;
  if (listen.port === 0) {
    io.stderr.write('entrepot: the server cannot be asked: admin.listen has port 0, which is any\n');
    return FAILED;
  }
  const path = ready ? '/readyz' : '/healthz';
  try {
    const { status, text } = await answerOf(listen, path);
    (status === 200 ? io.stdout : io.stderr).write(`${text.trimEnd()}\n`);
    return status === 200 ? WELL : FAILED;
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'no answer in time';
    io.stderr.write(`entrepot: ${path} of the admin listener (admin.listen) does not answer (${code})\n`);
    return FAILED;
  }
}

async function answerOf(listener: ListenerConfig, path: string): Promise<{ status: number; text: string }> {
  const options: RequestOptions = {
    host: reachable(listener.host),
    port: listener.port,
    path,
    agent: false,
    signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
  };
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    // Nothing secret is sent or asked, and the certificate is for the names that others use.
    const asking =
      listener.tls === undefined
        ? plainRequest(options, resolve)
        : secureRequest({ ...options, rejectUnauthorized: false }, resolve);
    asking.on('error', reject).end();
  });
  let text = '';
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    text += chunk.toString();
    if (text.length > TEXT_BYTES_LIMIT) break;
  }
  return { status: answer.statusCode ?? 0, text: text.slice(0, TEXT_BYTES_LIMIT) };
}
