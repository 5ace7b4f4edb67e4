// MQTT.js is told to use native timers; what it would take otherwise is a worker made of a blob.
export const setInterval = globalThis.setInterval.bind(globalThis);
export const clearInterval = globalThis.clearInterval.bind(globalThis);
