/** Names of a layout's files (image-spec, "OCI Image Layout"), and of docker's beside them. */
export const LAYOUT_MARK = 'oci-layout';
export const LAYOUT_INDEX = 'index.json';
export const DOCKER_MANIFEST_FILE = 'manifest.json';
export const LAYOUT_MARK_TEXT = '{"imageLayoutVersion":"1.0.0"}';
