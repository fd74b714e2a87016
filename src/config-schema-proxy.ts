import { z } from 'zod';
import { mapping, text } from './config-values.ts';

const error = 'accepted is none, http(s)://host:port or socks5(h)://host:port, or a mapping with such a url';

export const proxySchema = z.union(
  [
    text,
    mapping({
      url: text.describe(
        'http://, https://, socks5:// (names are resolved here) or socks5h:// (by the proxy).',
      ),
      username: text.describe('User name at the proxy.').optional(),
      usernameFile: text.describe('A file that holds the user name.').optional(),
      password: text.describe('Password at the proxy.').optional(),
      passwordFile: text.describe('A file that holds the password.').optional(),
      ca: text
        .describe(
          "PEM file of the authorities that an https proxy is checked with, in place of the system's.",
        )
        .optional(),
      noProxy: z
        .array(text, { error: 'accepted is a list of hosts' })
        .describe('What is reached without it: host, .domain, address, CIDR, any of these with :port, or *.')
        .prefault([]),
    }),
  ],
  { error },
);

export type FileProxy = z.output<typeof proxySchema>;
