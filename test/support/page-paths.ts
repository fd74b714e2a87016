/** The pages of the admin listener, but for those of one image. */
export const PAGE_PATHS = [
  '/',
  '/images',
  '/upstreams',
  '/store',
  '/warm',
  '/requests',
  '/clients',
  '/report',
  '/explain',
  '/setup',
  '/configuration',
];
