extension ServiceDefinition {
    /// The output of `--help`: every key with its type, its default, its purpose, and the ways to set it.
    var help: String {
        var lines = [
            "\(executable): \(summary)",
            "",
            "Usage: \(executable) [--KEY VALUE]...",
            "",
            "Each key can be set by its flag, by its environment variable, or in the JSON file that config.file names",
            "(the key http.port is {\"http\": {\"port\": 8080}} there). Flags override the environment, which overrides",
            "the file. Set secrets by environment or file, because every user of the machine can see flags.",
        ]
        for (title, settings) in settingGroups {
            lines += ["", "\(title):"]
            for setting in settings { lines += ["", "  \(setting.key)\(setting.note)"] + setting.helpLines }
        }
        lines += [
            "",
            "Other flags:",
            "",
            "  --help, -h    print this help",
            "  --version     print the version",
            "",
            "SIGTERM and SIGINT start a graceful shutdown, which takes at most shutdown.timeout. A second one ends the",
            "process immediately. The exit code is 0 after a graceful shutdown, 1 if the service could not start or",
            "failed, 64 if its configuration is invalid, and 130 or 143 after a second SIGINT or SIGTERM.",
        ]
        return lines.joined(separator: "\n")
    }

    private var settingGroups: [(String, [Setting])] {
        let commonKeys = Set(commonSettings.map(\.key))
        let groups = Dictionary(grouping: allSettings) { setting in
            if commonKeys.contains(setting.key) { return "Common settings" }
            if setting.key.hasPrefix("rabbitmq.") { return "RabbitMQ" }
            return setting.key.hasPrefix("redis.") ? "Redis" : "Settings of this service"
        }
        return ["Settings of this service", "Common settings", "RabbitMQ", "Redis"].compactMap { title in
            groups[title].map { (title, $0) }
        }
    }
}

extension Setting {
    fileprivate var note: String {
        let shownDefault = isSecret ? defaultValue.map { Redaction().redact($0) } : defaultValue
        let secret = isSecret ? ", secret" : ""
        return " (\(kind.rawValue)\(secret), default \(shownDefault ?? "none"))"
    }

    fileprivate var helpLines: [String] {
        ["      \(meaning)", "      \(flag)  \(environmentVariable)"]
    }
}
