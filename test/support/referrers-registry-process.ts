import { onTestFinished } from 'vitest';
import { ChildProgram } from './child-program.ts';
import { programPath } from './programs.ts';

/** A real registry that serves the referrers API, in memory. Ends with the test. */
export class ReferrersRegistryProcess {
  readonly url: string;
  readonly #program: ChildProgram;

  private constructor(program: ChildProgram, address: string) {
    this.#program = program;
    this.url = `http://${address}`;
  }

  static async start(): Promise<ReferrersRegistryProcess> {
    const program = new ChildProgram(programPath('registry-with-referrers'), []);
    const registry = await program
      .until(() => /listening on (\S+)/.exec(program.stdout)?.[1], 'line that it listens')
      .then((address) => new ReferrersRegistryProcess(program, address));
    onTestFinished(() => registry.stop());
    return registry;
  }

  get host(): string {
    return new URL(this.url).host;
  }

  /** Targets of the requests for referrers so far. */
  get referrersRequests(): readonly string[] {
    return [...this.#program.stdout.matchAll(/^GET (\S+\/referrers\/\S+)/gm)].map(
      ([, target = '']) => target,
    );
  }

  async stop(): Promise<void> {
    await this.#program.stop();
  }
}
