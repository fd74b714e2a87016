/** Names of a layout's files (image-spec, "OCI Image Layout"), and of docker's beside them. */
export const LAYOUT_MARK = 'oci-layout';
export const LAYOUT_INDEX = 'index.json';
export const DOCKER_MANIFEST_FILE = 'manifest.json';
export const LAYOUT_MARK_TEXT = '{"imageLayoutVersion":"1.0.0"}';
/** All that lies at the top of a layout: of this program, and of others that write some. */
export const LAYOUT_FILES: ReadonlySet<string> = new Set([
  LAYOUT_MARK,
  LAYOUT_INDEX,
  DOCKER_MANIFEST_FILE,
  'blobs',
  'repositories',
  'entrepot.json',
  'entrepot.json.sig',
]);
