/**
 * Milliseconds of processor time that this process spent on `work`: what else a busy machine does, and when it lets us
 * run, is no part of it.
 */
export function processorMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
