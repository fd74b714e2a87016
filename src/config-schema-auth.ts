import { z } from 'zod';
import { boolean, mapping, parsed, text, url } from './config-values.ts';

const helperError =
  'accepted is the NAME of a program docker-credential-NAME on the PATH: letters, digits, . _ and -';
const helper = parsed(z.string({ error: helperError }), helperError, (name) =>
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name) ? name : undefined,
);

const ecr = mapping({
  region: text.describe("AWS region. Default: as the registry's host name says, else AWS's own.").optional(),
  registryId: text
    .describe("AWS account of the registry. Default: as the registry's host name says.")
    .optional(),
  profile: text.describe('Profile in the AWS configuration files.').optional(),
  public: boolean.describe('true: ECR Public. Default: true for public.ecr.aws.').optional(),
  endpoint: url.describe("The ECR API. Default: AWS's for the region.").optional(),
}).describe(
  'Amazon ECR, signed in to with what the AWS default credential chain finds. {} for all defaults.',
);

const google = mapping({
  keyFile: text
    .describe(
      'JSON key of a service account. Default: application default credentials, or the metadata server.',
    )
    .optional(),
}).describe('Google Artifact Registry and Container Registry. {} for all defaults.');

const azure = mapping({
  tenantId: text.describe('Tenant of the service principal.').optional(),
  clientId: text
    .describe(
      'Service principal, or user-assigned managed identity. Default: the managed identity of the machine.',
    )
    .optional(),
  clientSecret: text.describe('Secret of the service principal.').optional(),
  clientSecretFile: text.describe('A file that holds the secret of the service principal.').optional(),
  federatedTokenFile: text
    .describe('A file that holds a token of a federated identity (workload identity), in place of a secret.')
    .optional(),
  endpoint: url.describe('The sign-in service. Default: https://login.microsoftonline.com.').optional(),
}).describe('Azure Container Registry, by service principal or managed identity. {} for all defaults.');

/** `auth`, wherever it stands: exactly one kind of credentials. */
export const authSchema = mapping({
  username: text.describe('User name.').optional(),
  usernameFile: text.describe('A file that holds the user name.').optional(),
  password: text.describe('Password or access token.').optional(),
  passwordFile: text.describe('A file that holds the password or access token.').optional(),
  token: text.describe('Bearer token, sent as it is.').optional(),
  tokenFile: text.describe('A file that holds the bearer token.').optional(),
  identityToken: text.describe('OAuth2 refresh token, exchanged for access tokens.').optional(),
  identityTokenFile: text.describe('A file that holds the refresh token.').optional(),
  dockerConfig: text.describe("A config.json of docker's, or an auth.json of podman's.").optional(),
  helper: helper.describe('A credential helper: NAME of docker-credential-NAME.').optional(),
  ecr: ecr.optional(),
  google: google.optional(),
  azure: azure.optional(),
}).describe(
  'Credentials for this registry, of one kind. They go to it and to its own token service only. Files are read again when they change.',
);

export type FileAuth = z.output<typeof authSchema>;
