import { contentIntakeContract } from './content-intake-contract.ts';
import { directoryStore, servedStore } from './store-subjects.ts';

contentIntakeContract('a server', servedStore);
contentIntakeContract('the directory itself', directoryStore);
