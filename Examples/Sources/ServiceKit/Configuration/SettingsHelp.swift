extension ServiceDefinition {
    /// The output of `--help`: every key with its type, its default, its purpose, and the ways to set it.
    var help: String {
        var lines = [
            "\(executable): \(summary)",
            "",
            "Usage: \(executable) [--KEY VALUE]...",
            "",
            "Each key can be set by its flag, by its environment variable, or in the JSON file that config.file names",
            "(the key http.port is {\"http\": {\"port\": 8080}} there); what is named first counts. Give secrets by",
            "environment or file: flags can be seen by everyone on the machine.",
        ]
        for (title, settings) in settingGroups {
            lines += ["", "\(title):"]
            for setting in settings { lines += ["", "  \(setting.key)\(setting.note)"] + setting.helpLines }
        }
        lines += [
            "",
            "Other flags:",
            "",
            "  --help, -h    print this",
            "  --version     print the version",
            "",
            "SIGTERM and SIGINT end the service in order, within shutdown.timeout; a second one ends it at once.",
            "It ends with 0 after an orderly shutdown, with 1 if it could not start or failed, with 64 if its",
            "configuration is not valid, and with 130 or 143 after a second SIGINT or SIGTERM.",
        ]
        return lines.joined(separator: "\n")
    }

    private var settingGroups: [(String, [Setting])] {
        let all = allSettings
        let own = Set(settings.map(\.key))
        func group(_ prefix: String) -> [Setting] { all.filter { $0.key.hasPrefix(prefix) && !own.contains($0.key) } }
        let common = all.filter {
            !$0.key.hasPrefix("rabbitmq.") && !$0.key.hasPrefix("redis.") && !own.contains($0.key)
        }
        return [
            ("Settings of this service", settings), ("Common settings", common), ("RabbitMQ", group("rabbitmq.")),
            ("Redis", group("redis.")),
        ].filter { !$0.1.isEmpty }
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
