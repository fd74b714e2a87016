import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { programPath } from './programs.ts';

/** Of a page that is waited for: far longer than it takes. */
const WAIT_MS = 30_000;
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export const PHONE = { width: 390, height: 844 };
export const DESKTOP = { width: 1280, height: 900 };

export interface VisitorOptions {
  /** Default: a desktop. */
  readonly size?: typeof PHONE;
  readonly scheme?: 'light' | 'dark';
  /** False: without JavaScript. */
  readonly scripts?: boolean;
}

/** A real Chromium without a window. Whoever opens it closes it. */
export async function openBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: programPath('chromium'),
    // Its sandbox wants more than containers allow; all that it is shown here is our own.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  });
}

/** Somebody with a browser of their own, who notes all that a page does and must not. */
export class Visitor {
  readonly page: Page;
  /** Errors on the console, violations of the policy, requests to other hosts. */
  readonly problems: string[] = [];
  readonly #context: BrowserContext;

  static async at(browser: Browser, origin: string, options: VisitorOptions = {}): Promise<Visitor> {
    const context = await browser.newContext({
      baseURL: origin,
      viewport: options.size ?? DESKTOP,
      colorScheme: options.scheme ?? 'light',
      javaScriptEnabled: options.scripts ?? true,
      reducedMotion: 'reduce',
    });
    context.setDefaultTimeout(WAIT_MS);
    return new Visitor(context, await context.newPage(), origin);
  }

  private constructor(context: BrowserContext, page: Page, origin: string) {
    this.#context = context;
    this.page = page;
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) this.problems.push(message.text());
    });
    page.on('pageerror', (error) => this.problems.push(error.message));
    page.on('request', (request) => {
      if (!request.url().startsWith(`${origin}/`)) this.problems.push(`asked ${request.url()}`);
    });
  }

  /** What axe-core finds wrong with the page that is shown: rules, and where they are broken. */
  async accessibilityFaults(): Promise<readonly string[]> {
    await this.page.evaluate(AXE);
    const { violations } = await this.page.evaluate<{
      violations: { id: string; nodes: { target: string[]; failureSummary: string }[] }[];
    }>('axe.run(document, { resultTypes: ["violations"] })');
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(({ target, failureSummary }) => `${id}: ${target.join(' ')}: ${failureSummary}`),
    );
  }

  /** Pixels that the page is wider than the window. */
  async overflow(): Promise<number> {
    return this.page.evaluate<number>(
      'Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)',
    );
  }

  async leave(): Promise<void> {
    await this.#context.close();
  }
}
