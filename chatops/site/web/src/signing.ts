// The signed address of the gateway: SigV4 in the query, for the service iotdevicegateway.
import { Sha256 } from "@aws-crypto/sha256-js";
import { SignatureV4 } from "@smithy/signature-v4";

export interface Keys {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string;
}

/**
 * Signs a `ws://` or `wss://` address. AWS IoT wants the session token appended after signing, so that it is not
 * given to the signer. WebCrypto is not used: a page on plain HTTP (an S3 website) has none.
 */
export async function signedAddress(address: string, region: string, keys: Keys, now: Date): Promise<string> {
  const url = new URL(address);
  const signer = new SignatureV4({
    service: "iotdevicegateway",
    region,
    sha256: Sha256,
    credentials: { accessKeyId: keys.accessKeyId, secretAccessKey: keys.secretAccessKey },
    applyChecksum: false,
  });
  const signed = await signer.presign(
    {
      method: "GET",
      protocol: url.protocol,
      hostname: url.hostname,
      path: url.pathname,
      query: {},
      headers: { host: url.host },
    },
    { signingDate: now, expiresIn: 300 },
  );
  const query = Object.entries({ ...signed.query, "X-Amz-Security-Token": keys.sessionToken })
    .map(([name, value]) => `${encodeURIComponent(name)}=${encode(String(value))}`)
    .join("&");
  return `${url.protocol}//${url.host}${url.pathname}?${query}`;
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (found) => `%${found.charCodeAt(0).toString(16).toUpperCase()}`);
}
