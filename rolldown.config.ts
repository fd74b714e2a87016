import { cpSync } from 'node:fs';
import { defineConfig } from 'rolldown';

/**
 * What `npm run build` makes of `src`: some hundred files of one directory in place of three hundred and fifty, since
 * Node takes about a millisecond of CPU for each that it links. Packages stay packages. What is loaded when it is first
 * needed (`await import`) is a file of its own here too. Types are checked by `npm run typecheck`, not here.
 */
const DIRECTORY = 'dist';

export default defineConfig([
  {
    // What is started by its file's name, and what that starts.
    input: {
      main: 'src/main.ts',
      'front-main': 'src/front-main.ts',
      'hash-worker': 'src/content/hash-worker.js',
    },
    external: isPackage,
    platform: 'node',
    output: {
      dir: DIRECTORY,
      cleanDir: true,
      chunkFileNames: '[name].js',
      // Somebody may replace the files while it runs: what is loaded after that must not take one thing for another.
      minifyInternalExports: false,
      sourcemap: true,
    },
    plugins: [
      {
        name: 'the files of the page, beside what reads them',
        writeBundle: () => cpSync('src/http/dashboard/assets', `${DIRECTORY}/assets`, { recursive: true }),
      },
    ],
  },
  {
    input: 'src/entry.cts',
    platform: 'node',
    output: { file: `${DIRECTORY}/entry.cjs`, format: 'cjs', sourcemap: true },
    plugins: [
      {
        name: 'what it starts, which is built above',
        resolveId: (id) => (id === './main.ts' ? { id: './main.js', external: true } : null),
      },
    ],
  },
]);

/** Neither a file, nor what rolldown itself puts in (`\0`, and the helpers that its transformations need). */
function isPackage(id: string): boolean {
  return !/^(?:[./\0]|@oxc-project\/runtime)/.test(id);
}
