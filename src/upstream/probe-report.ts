import type { StepResult } from './step-result.ts';

/** What is looked at, in this order; what fails takes what needs it along. */
export const PROBE_STEPS = ['name', 'connection', 'api', 'clock', 'token', 'manifest', 'quota'] as const;
export type ProbeStep = (typeof PROBE_STEPS)[number];

export type ProbeReport = Readonly<Record<ProbeStep, StepResult>>;
