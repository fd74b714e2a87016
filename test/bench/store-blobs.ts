/** How many blobs its metrics say it holds. */
export async function storeBlobs(adminUrl: string): Promise<number> {
  const response = await fetch(`${adminUrl}/metrics`, { signal: AbortSignal.timeout(5000) });
  return Number(/^entrepot_store_blobs(?:\{.*\})? (\S+)$/m.exec(await response.text())?.[1]);
}
