import { z } from 'zod';
import { type Digest, digestFrom } from '../oci/digest.ts';
import { isRepositoryName, isTag, parseRepositoryName, parseTag } from '../oci/reference.ts';

/** What a bundle holds, as its file `entrepot.json` says. Readers that are not entrepot pass over that file. */

export const BUNDLE_MANIFEST_NAME = 'entrepot.json';
/** Ed25519 over the bytes of the file, base64 and a line end. */
export const BUNDLE_SIGNATURE_NAME = 'entrepot.json.sig';
/** What this version writes, and the latest that it reads. */
export const BUNDLE_VERSION = 1;
/** 100,000 contents are about 11 MB, and no archive is read that has three times as many. Nothing larger is written or read. */
export const BUNDLE_MANIFEST_BYTES_LIMIT = 32 * 1024 * 1024;

const sizeBytes = z.number().int().nonnegative();
const digest = z.string().transform((text, context): Digest => {
  const parsed = digestFrom(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom', message: 'is not a digest' });
  return z.NEVER;
});
const repository = z
  .string()
  .refine(isRepositoryName, { error: 'is not the name of a repository' })
  .transform(parseRepositoryName);
const tag = z.string().refine(isTag, { error: 'is not a tag' }).transform(parseTag);
const contents = listOf(z.tuple([digest, sizeBytes]));

const bundleImage = z.object({
  upstream: z.string().min(1).max(255),
  repository,
  /** Those that mean it; none for what is known by its digest alone. */
  tags: listOf(tag),
  digest,
  mediaType: z.string(),
  /** When the upstream said so, milliseconds since 1970. */
  checkedAt: z.number().nonnegative(),
  /** Of a signature, SBOM or attestation that came along: what it is about. */
  subject: digest.optional(),
});

export const bundleManifest = z.object({
  entrepotBundle: z.literal(BUNDLE_VERSION),
  /** ISO 8601. */
  createdAt: z.string(),
  /** Program and version. */
  createdBy: z.string(),
  /** `os/architecture[/variant]` that were asked for; none: all. Children of an index for others are not in the bundle. */
  platforms: listOf(z.string()),
  images: listOf(bundleImage),
  /** All blobs and manifests that are in the bundle, in the order in which a tar has them, with their sizes in bytes. */
  contents,
  /** What the images consist of beside that, and the other side has: see `entrepot export --missing-only-from`. */
  leftOut: contents,
  /** The layout's other files, by name: `oci-layout`, `index.json`, `manifest.json` if there is one. */
  files: z.record(z.string(), z.tuple([digest, sizeBytes])),
});
export type BundleManifest = z.infer<typeof bundleManifest>;
export type BundleImage = z.infer<typeof bundleImage>;

/**
 * Beside the parts `NAME.001`, `NAME.002`, … of a bundle that was split: `NAME.parts.json`, signed in
 * `NAME.parts.json.sig` if the bundle is. Each part is verified alone; put together they are the file `name`.
 */
export const bundleParts = z.object({
  entrepotParts: z.literal(BUNDLE_VERSION),
  /** Of the whole. */
  name: z.string(),
  sizeBytes,
  parts: z.array(z.object({ name: z.string(), sizeBytes, digest })).min(1),
});
export type BundleParts = z.infer<typeof bundleParts>;

/** The first that is wrong ends it: of millions of faults, each told, memory would not be enough. */
function listOf<T extends z.ZodType>(item: T) {
  return z.array(z.unknown()).transform((values, context): z.output<T>[] => {
    const found: z.output<T>[] = [];
    for (const [at, value] of values.entries()) {
      const result = item.safeParse(value);
      if (!result.success) {
        const [issue] = result.error.issues;
        context.addIssue({
          code: 'custom',
          message: issue?.message ?? 'is none',
          path: [at, ...(issue?.path ?? [])],
        });
        return z.NEVER;
      }
      found.push(result.data);
    }
    return found;
  });
}
