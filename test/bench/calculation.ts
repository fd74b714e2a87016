import type { Figure } from './figure.ts';

/** A scenario that only computes: it starts nothing and needs no other program. */
export interface Calculation {
  readonly name: string;
  readonly says: string;
  run(options: { readonly quick: boolean }): CalculationReport | Promise<CalculationReport>;
}

export interface CalculationReport {
  /** To be read, above the figures. */
  readonly lines: readonly string[];
  readonly figures: readonly Figure[];
  /** For .bench/result.json. */
  readonly data: unknown;
}
