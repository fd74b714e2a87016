import { storeContentsContract } from './store-contents-contract.ts';
import { directoryStore, servedStore } from './store-subjects.ts';

storeContentsContract('a server', servedStore);
storeContentsContract('the directory itself', directoryStore);
