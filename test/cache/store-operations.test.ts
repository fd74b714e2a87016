import { storeOperationsContract } from './store-operations-contract.ts';
import { directoryStore, servedStore } from './store-subjects.ts';

storeOperationsContract('a server', servedStore);
storeOperationsContract('the directory itself', directoryStore);
