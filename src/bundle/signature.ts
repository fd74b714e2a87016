import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { BundleError } from './bundle-error.ts';

/** Base64 of 64 bytes, and a line end or two. */
const SIGNATURE_LENGTH_LIMIT = 128;
const SIGNATURE_BYTES = 64;

/** A new key pair (Ed25519) as PEM: PKCS #8 and SubjectPublicKeyInfo, as OpenSSL writes them. */
export function newKeyPair(): { readonly privatePem: string; readonly publicPem: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  return { privatePem: privateKey, publicPem: publicKey };
}

/** @param place for the message, which holds nothing of the text @throws BundleError `invalid` */
export function privateKeyFrom(pem: string, place: string): KeyObject {
  return keyFrom(
    () => createPrivateKey(pem),
    `${place}: accepted is an Ed25519 private key (PEM), as entrepot keygen writes it`,
  );
}

/** @throws BundleError `invalid` */
export function publicKeyFrom(pem: string, place: string): KeyObject {
  const accepted = `${place}: accepted is an Ed25519 public key (PEM), as entrepot keygen writes it`;
  // The library would take a private key for its public half, which nobody should have to hand around.
  if (/PRIVATE KEY/.test(pem)) throw new BundleError('invalid', accepted);
  return keyFrom(() => createPublicKey(pem), accepted);
}

/** What is written beside a document: a line of base64. */
export function signatureOf(document: Uint8Array, privateKey: KeyObject): string {
  return `${sign(null, document, privateKey).toString('base64')}\n`;
}

/** Is it a signature of the very bytes by one of the keys? */
export function isSignedBy(
  document: Uint8Array,
  signature: string,
  publicKeys: readonly KeyObject[],
): boolean {
  if (signature.length > SIGNATURE_LENGTH_LIMIT) return false;
  const bytes = Buffer.from(signature.trim(), 'base64');
  if (bytes.length !== SIGNATURE_BYTES || bytes.toString('base64') !== signature.trim()) return false;
  return publicKeys.some((key) => verify(null, document, key, bytes));
}

function keyFrom(read: () => KeyObject, accepted: string): KeyObject {
  let key: KeyObject;
  try {
    key = read();
  } catch {
    // The library's error is dropped: it may quote what it was given.
    throw new BundleError('invalid', accepted);
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new BundleError('invalid', accepted);
  return key;
}
