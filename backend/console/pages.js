/** Every page: its icon, the group it stands in, and where its module is. One more page is one line here. */

export const GROUPS = [
  ["make", [["chat", "chat"], ["images", "image"], ["video", "video"], ["speech", "voice"]]],
  ["see", [["recognition", "eye"], ["faces", "face"], ["camera", "camera"]]],
  ["learn", [["datasets", "data"], ["annotate", "tag"], ["training", "train"], ["models", "model"]]],
  ["service", [["jobs", "jobs"], ["providers", "plug"], ["keys", "key"], ["usage", "usage"], ["account", "account"]]],
];

// Those about accounts are nothing without a login.
export const OF_ACCOUNTS = new Set(["keys", "usage", "account"]);
export const NEED_LOGIN = new Set([...OF_ACCOUNTS, "datasets"]);
export const NAMES = GROUPS.flatMap(([, pages]) => pages.map(([name]) => name));

export const open = (name) => import(`./pages/${name}.js`);
