import { leaveNothingBehind } from './leftovers.ts';
import { type ChildOrder, delayPort, raiseLoopback } from './network-namespace.ts';
import { measureWideArea } from './scenarios/wide-area.ts';
import { Workbench } from './workbench.ts';

/** The process behind `inDelayedNetwork`: everything of the scenario, in a network of its own. */

leaveNothingBehind();
process.once('disconnect', () => process.exit(1));
const delayMs = Number(process.argv[2]);
const order = await new Promise<ChildOrder>((resolve) => {
  process.once('message', (message) => resolve(message as ChildOrder));
});
await raiseLoopback();
const bench = await Workbench.open({ ...order, contestants: [] });
try {
  const { cappedUrl } = bench.upstream;
  await delayPort(Number(new URL(cappedUrl).port), delayMs);
  const figures = await measureWideArea(bench, cappedUrl);
  await new Promise((resolve) => void process.send?.(figures, resolve));
} finally {
  await bench.close();
}
process.exit(0);
