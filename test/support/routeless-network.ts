import { onTestFinished } from 'vitest';
import { ChildProgram, type ProgramPlace } from './child-program.ts';
import { programPath } from './programs.ts';

/**
 * A network namespace that has a loopback interface and nothing else: what runs there reaches itself, and not this
 * machine either. Needs root. Ends with the test.
 */
export async function routelessNetwork(): Promise<ProgramPlace> {
  const script = 'ip link set lo up && test -z "$(ip route)" && echo up && exec sleep 3600';
  const keeper = new ChildProgram(programPath('unshare'), ['--net', 'sh', '-c', script]);
  onTestFinished(async () => {
    await keeper.stop();
  });
  await keeper.until(() => (keeper.stdout.includes('up') ? true : undefined), 'word that the loopback is up');
  return { prefix: [programPath('nsenter'), `--target=${keeper.pid}`, '--net'] };
}
