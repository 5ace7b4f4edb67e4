declare module "process/browser.js" {
  const process: { nextTick(callback: (...values: unknown[]) => void, ...values: unknown[]): void };
  export default process;
}
