// @ts-check
// A thread that hashes. JavaScript, so that Node 20 runs this very file under the tests too.
import { createHash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';

/**
 * @typedef {{ kind: 'slab', slab: number, memory: SharedArrayBuffer }
 *   | { kind: 'start', job: number, algorithm: 'sha256' | 'sha512' }
 *   | { kind: 'update', job: number, slab: number, length: number }
 *   | { kind: 'digest', job: number }} HashRequest
 */

/** @type {Map<number, Buffer>} */
const slabs = new Map();
/** @type {Map<number, import('node:crypto').Hash>} */
const hashes = new Map();

parentPort?.on('message', (/** @type {HashRequest} */ request) => {
  if (request.kind === 'slab') {
    slabs.set(request.slab, Buffer.from(request.memory));
    return;
  }
  const { job } = request;
  switch (request.kind) {
    case 'start':
      hashes.set(job, createHash(request.algorithm));
      return;
    case 'update':
      hashes.get(job)?.update(/** @type {Buffer} */ (slabs.get(request.slab)).subarray(0, request.length));
      parentPort?.postMessage({ job });
      return;
    case 'digest':
      parentPort?.postMessage({ job, hex: hashes.get(job)?.digest('hex') });
      hashes.delete(job);
  }
});
