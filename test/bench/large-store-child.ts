import { type LargeStoreOptions, writeLargeStore } from './large-store.ts';

/** The process behind `makeLargeStore`. */

process.once('disconnect', () => process.exit(1));
await writeLargeStore(JSON.parse(process.argv[2] ?? '') as LargeStoreOptions);
process.exit(0);
