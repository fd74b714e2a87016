/**
 * What happens in one turn of the event loop, told together when it is over: a message for each would cost more than all
 * else. @returns adds one
 */
export function inOneMessage<T>(tell: (all: readonly T[]) => void): (one: T) => void {
  let waiting: T[] = [];
  return (one) => {
    if (waiting.push(one) > 1) return;
    setImmediate(() => {
      const all = waiting;
      waiting = [];
      tell(all);
    });
  };
}
