import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findProgram, versionOf } from '../find-program.ts';
import { freePorts, ServerProcess } from '../server-process.ts';
import type { Peer } from './peer.ts';

/** nginx as a cache of any HTTP server: it knows nothing of registries, and compares no digest. */
export const nginxCache: Peer = {
  name: 'nginx',
  says: 'proxy_cache with proxy_cache_lock, one zone on disk, a worker for each core, tags valid for 10 minutes, no access log (in its favour)',
  limits: {},
  async find() {
    const file = await findProgram('nginx');
    if (file === undefined) return { missing: 'on Debian: apt-get install nginx-light' };
    return { file, version: await versionOf(file, '-v') };
  },
  async start({ file, dir, upstreamUrl }) {
    const [port = 0] = await freePorts(1);
    for (const name of ['cache', 'tmp']) await mkdir(join(dir, name));
    const config = join(dir, 'nginx.conf');
    await writeFile(config, configuration(dir, port, upstreamUrl));
    const url = `http://127.0.0.1:${port}`;
    const server = await ServerProcess.start({
      file,
      args: ['-p', dir, '-c', config, '-e', join(dir, 'error.log')],
      logFile: join(dir, 'log'),
      readyUrl: `${url}/v2/`,
    });
    return { name: 'nginx', process: server, url, dir };
  },
};

/** What Debian's nginx.conf has, and what caches of registries are configured with. */
function configuration(dir: string, port: number, upstreamUrl: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${dir}/tmp/${name};`)
    .join('\n  ');
  const { host } = new URL(upstreamUrl);
  // Workers of a master that is root are somebody else, who may not enter the bench's directories.
  const user = process.getuid?.() === 0 ? 'user root;\n' : '';
  return `${user}daemon off;
worker_processes auto;
pid ${dir}/nginx.pid;
events { worker_connections 1024; }
http {
  types { }
  default_type application/octet-stream;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  access_log off;
  ${temporary}
  proxy_cache_path ${dir}/cache levels=1:2 keys_zone=registry:16m max_size=100g inactive=30d use_temp_path=off;
  upstream registry { server ${host}; keepalive 32; }
  server {
    listen 127.0.0.1:${port};
    location /v2/ {
      proxy_pass http://registry;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host ${host};
      proxy_cache registry;
      proxy_cache_key "$uri $http_accept";
      proxy_cache_valid 200 10m;
      proxy_cache_lock on;
      proxy_cache_lock_timeout 15m;
      proxy_cache_lock_age 15m;
      proxy_cache_use_stale error timeout updating;
      location ~ "/(blobs|manifests)/sha256:" {
        proxy_pass http://registry;
        proxy_cache_key $uri;
        proxy_cache_valid 200 30d;
      }
    }
  }
}
`;
}
