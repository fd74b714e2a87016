import { prettyFactory } from 'pino-pretty';

/** The format of a log's lines for people at a terminal: coloured text in place of JSON. */
export function terminalLines(): (line: string) => string {
  return prettyFactory({ colorize: true, translateTime: 'SYS:HH:MM:ss.l', singleLine: true });
}
