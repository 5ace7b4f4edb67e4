// What MQTT.js expects of Node, and browsers have not.
export { Buffer } from "buffer/";
export { default as process } from "process/browser.js";
