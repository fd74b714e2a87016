import { type IncomingHttpHeaders, request as plain } from 'node:http';
import { request as secure } from 'node:https';

export interface AdminAnswer {
  readonly status: number;
  readonly text: string;
  readonly headers: IncomingHttpHeaders;
}

export interface AdminRequest {
  /** Default: GET, and POST with a body. */
  readonly method?: string;
  /** Any at all, `Host` too. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** PEM; for https. */
  readonly ca?: string;
}

/** One request of the admin listener, on a connection of its own. Redirects are not followed. */
export async function askAdmin(
  url: string,
  { method, headers, body, ca }: AdminRequest = {},
): Promise<AdminAnswer> {
  return new Promise((resolve, reject) => {
    const sent = (url.startsWith('https:') ? secure : plain)(
      url,
      {
        method: method ?? (body === undefined ? 'GET' : 'POST'),
        headers: { ...headers },
        agent: false,
        ...(ca !== undefined && { ca }),
      },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text, headers: answer.headers }));
        answer.on('error', reject);
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

/** What a form of a page sends. */
export function formBody(fields: Readonly<Record<string, string>>): Pick<AdminRequest, 'headers' | 'body'> {
  return {
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(fields).toString(),
  };
}
