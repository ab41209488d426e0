extension ServiceDefinition {
    /// All keys of the configuration: the common ones, and those of the service. A later setting replaces an earlier
    /// one with the same key.
    var allSettings: [Setting] {
        var all: [Setting] = []
        for setting in commonSettings + settings {
            if let index = all.firstIndex(where: { $0.key == setting.key }) {
                all[index] = setting
            } else {
                all.append(setting)
            }
        }
        return all
    }

    var commonSettings: [Setting] {
        [
            Setting("config.file", .string, default: nil, "a JSON file with further configuration"),
            Setting("http.host", .string, default: "127.0.0.1", "the address to listen on"),
            Setting("http.port", .int, default: "\(defaultPort)", "the port to listen on; 0 for any free port"),
            Setting(
                "http.tokens",
                .string,
                default: nil,
                isSecret: true,
                "the clients and their tokens, as NAME:TOKEN, separated by commas"
            ),
            Setting("http.openAccess", .bool, default: "false", "whether clients need no token"),
            Setting(
                "http.allowedHosts",
                .string,
                default: nil,
                "names of the service in URLs, besides localhost and http.host, separated by commas; * for any"
            ),
            Setting(
                "http.maximumConnections",
                .int,
                default: "1000",
                "the maximum number of connections; at most half of the process's file descriptors are used"
            ),
            Setting(
                "http.maximumBodyBytes",
                .int,
                default: "33554432",
                "the maximum size in bytes of all request bodies that are being received"
            ),
            Setting("log.level", .string, default: "info", "trace, debug, info, notice, warning, error or critical"),
            Setting("trace.file", .string, default: nil, "a file to which spans are appended as JSON lines"),
            Setting("shutdown.timeout", .double, default: "20", "the maximum duration of a shutdown, in seconds"),
        ]
    }
}
