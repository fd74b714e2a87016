import type { Config } from '../config.ts';
import { readImportKey } from '../import-key.ts';
import { RemoteActivity } from './remote-activity.ts';
import { RemoteApi } from './remote-api.ts';
import { RemoteContents } from './remote-contents.ts';
import { RemoteExplain } from './remote-explain.ts';
import { RemoteOffline } from './remote-offline.ts';
import { RemoteOperations } from './remote-operations.ts';
import { RemoteReload } from './remote-reload.ts';
import { RemoteUpstreams } from './remote-upstreams.ts';
import { RemoteWarming } from './remote-warming.ts';
import type { StoreAccess } from './store-access.ts';

/** The store of a data directory through the server that holds it; nobody is asked yet. */
export function remoteAccess({ admin: { listen, token }, dataDir }: Config): StoreAccess {
  const api = new RemoteApi({ listener: listen, token, importKey: readImportKey(dataDir) });
  return {
    activity: new RemoteActivity(api),
    operations: new RemoteOperations(api),
    contents: new RemoteContents(api),
    offline: new RemoteOffline(api),
    reload: new RemoteReload(api),
    upstreams: new RemoteUpstreams(api),
    explain: new RemoteExplain(api),
    warming: () => Promise.resolve(new RemoteWarming(api)),
    close: async () => undefined,
  };
}
