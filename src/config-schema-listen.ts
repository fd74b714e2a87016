import { z } from 'zod';
import { boolean, listen, mapping, text } from './config-values.ts';

const minVersionError = 'accepted is TLSv1.2 or TLSv1.3';

export const listenerTls = mapping({
  cert: text.describe('PEM file of the certificate, followed by those that lead to its authority.'),
  key: text.describe("PEM file of the certificate's key."),
  minVersion: z
    .enum(['TLSv1.2', 'TLSv1.3'], { error: minVersionError })
    .describe('The oldest version that clients may use: TLSv1.2 or TLSv1.3.')
    .prefault('TLSv1.2'),
});

/** `true` means the top-level `tls`. */
export const tlsChoice = z.union([boolean, listenerTls], {
  error: 'accepted is true (as the top-level tls says), false, or a mapping of cert and key',
});

const listenerError = 'accepted is host:port, or a mapping of address and tls';
const listener = z.union(
  [
    listen(),
    mapping({
      address: listen().describe('host:port'),
      tls: tlsChoice
        .describe('Whether it speaks TLS, or with what. Default: true where the top-level tls is set.')
        .optional(),
    }),
  ],
  { error: listenerError },
);

const listenersError =
  'accepted is host:port or [IPv6 address]:port, such as 127.0.0.1:5000 (port 0 is any free one), or a list of them';
export const listeners = z.union(
  [
    listen(),
    z
      .array(listener, { error: listenersError })
      .min(1, { error: listenersError })
      .max(32, { error: 'accepted are 32 listeners at most' }),
  ],
  { error: listenersError },
);

export type FileTls = z.output<typeof listenerTls>;
