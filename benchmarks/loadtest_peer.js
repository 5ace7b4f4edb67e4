// What `mqttx bench` does, with the library it is made of (MQTT.js): connections that post and count, nothing else.
// node loadtest_peer.js PORT CLIENTS ROOMS POSTS_PER_S SECONDS   (NODE_PATH names where `mqtt` is installed)
const mqtt = require("mqtt");
const [port, clients, rooms, rate, seconds] = process.argv.slice(2).map(Number);
const payload = Buffer.alloc(300, "x");
let received = 0, joined = 0, posted = 0;
const everybody = [];
for (let n = 0; n < clients; n++) {
  const client = mqtt.connect(`ws://127.0.0.1:${port}/mqtt`, {
    protocolVersion: 5, clientId: `peer-${n}`, clean: true, reconnectPeriod: 0, keepalive: 300,
  });
  client.on("message", () => { received++; });
  client.on("connect", () => client.subscribe(`/chat/peer-${n % rooms}`, { qos: 0 }, () => { joined++; }));
  everybody.push(client);
}
const waiting = setInterval(() => {
  if (joined < clients) return;
  clearInterval(waiting);
  const begun = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  const posting = setInterval(() => {
    const elapsed = Number(process.hrtime.bigint() - begun) / 1e9;
    while (posted < elapsed * rate) {
      const n = posted++ % clients;
      everybody[n].publish(`/chat/peer-${n % rooms}`, payload, { qos: 1 });
    }
    if (elapsed < seconds) return;
    clearInterval(posting);
    const used = process.cpuUsage(cpu);
    console.log(JSON.stringify({
      received, posted, seconds: elapsed, cpu_s: (used.user + used.system) / 1e6,
      rss_mb: process.memoryUsage().rss / 1048576,
    }));
    process.exit(0);
  }, 5);
}, 20);
