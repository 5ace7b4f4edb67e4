import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { test } from "node:test";
import { signedAddress } from "../src/signing";

const keys = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalr/EXAMPLE", sessionToken: "to+ken/=*'" };

test("signs for iotdevicegateway with the host as sent, and appends the token after signing", async () => {
  const address = await signedAddress("ws://127.0.0.1:4567/mqtt", "eu-west-1", keys, new Date(Date.UTC(2026, 0, 2, 3, 4, 5)));
  const [before, query = ""] = address.split("?");
  assert.equal(before, "ws://127.0.0.1:4567/mqtt");
  const parameters = query.split("&");
  const token = parameters.at(-1) ?? "";
  assert.equal(token, "X-Amz-Security-Token=to%2Bken%2F%3D%2A%27");
  const signature = parameters.find((pair) => pair.startsWith("X-Amz-Signature="))?.split("=")[1];
  // worked out anew, from AWS's description of SigV4
  const signed = parameters.filter((pair) => pair !== token && !pair.startsWith("X-Amz-Signature=")).sort();
  const hash = (text: string): string => createHash("sha256").update(text).digest("hex");
  const request = `GET\n/mqtt\n${signed.join("&")}\nhost:127.0.0.1:4567\n\nhost\n${hash("")}`;
  const scope = "20260102/eu-west-1/iotdevicegateway/aws4_request";
  let key: Buffer = Buffer.from(`AWS4${keys.secretAccessKey}`);
  for (const part of scope.split("/")) key = createHmac("sha256", key).update(part).digest();
  const expected = createHmac("sha256", key).update(`AWS4-HMAC-SHA256\n20260102T030405Z\n${scope}\n${hash(request)}`).digest("hex");
  assert.equal(signature, expected);
});
