import { type ChildProcess, fork } from 'node:child_process';
import type { Socket } from 'node:net';
import type { OwnerMessage } from './front-messages.ts';

/** A front's process, as the owner has it. Neither call throws, and to a process that has ended they do nothing. */
export interface FrontProcess {
  readonly pid: number | undefined;
  /** @param sent called once the message is on its way, and never when it will not be */
  send(message: OwnerMessage, socket?: Socket, sent?: () => void): void;
  kill(): void;
}

/** How one ended. */
export interface FrontEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The last of what it wrote on standard error. */
  readonly lastWords: string;
}

export interface FrontProcessListeners {
  readonly onMessage: (message: unknown) => void;
  /** Called once. */
  readonly onEnd: (end: FrontEnd) => void;
}

export type StartFront = (listeners: FrontProcessListeners) => FrontProcess;

/** Of what one writes on standard error. */
const LAST_WORDS_LENGTH = 4096;
/** What of the environment concerns a process as such; the rest may hold secrets, and no front reads any of it. */
const PASSED_ON = /^(?:NODE_|UV_|LD_|OPENSSL_|SSL_|TZ$|LANG$|PATH$|TMPDIR$)/;

/** @param file the program that a front is */
export function frontStarter(
  file: string,
  environment: Readonly<Record<string, string | undefined>>,
): StartFront {
  const passedOn = Object.fromEntries(Object.entries(environment).filter(([name]) => PASSED_ON.test(name)));
  return (listeners) => {
    const child = fork(file, [], { env: passedOn, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    listen(child, listeners);
    return {
      pid: child.pid,
      send: (message, socket, sent) => {
        if (!child.connected) return;
        child.send(message, socket, { keepOpen: false }, (error) => void (error === null && sent?.()));
      },
      kill: () => void child.kill('SIGKILL'),
    };
  };
}

function listen(child: ChildProcess, { onMessage, onEnd }: FrontProcessListeners): void {
  let lastWords = '';
  let isOver = false;
  const end = (code: number | null, signal: NodeJS.Signals | null): void => {
    if (isOver) return;
    isOver = true;
    onEnd({ code, signal, lastWords });
  };
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    lastWords = `${lastWords}${text}`.slice(-LAST_WORDS_LENGTH);
  });
  child.on('message', onMessage);
  child.once('close', end);
  child.on('error', (error) => {
    // It could not be started; other errors are of messages to one that ends.
    if (child.pid !== undefined) return;
    lastWords = error.message;
    end(null, null);
  });
}
