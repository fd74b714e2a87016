import { parentPort } from 'node:worker_threads';
import { sha256Seconds } from './sha256-pass.ts';

/** A core's part of `sha256SecondsOnAllCores`: hashes the files that it is told, and says how long each took. */

parentPort?.on('message', (path: string) => {
  void sha256Seconds(path).then((seconds) => parentPort?.postMessage(seconds));
});
