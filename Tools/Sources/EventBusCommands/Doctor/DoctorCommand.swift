import ArgumentParser
import EventBus
import EventBusRabbit
import FoundationEssentials
import TerminalText

/// Looks for problems of a system, and says what to do about each.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Looks for queues that nobody empties, growing dead letters, missing objects and harmful settings.",
        discussion: """
            It changes nothing. AMQP lists no queues, policies, feature flags or permissions. With --management, the \
            management API does: all queues of subscriptions are checked, and the settings of the broker too. Without \
            it, name the queues, and see rabbitmqctl list_policies, list_operator_policies, list_feature_flags and \
            list_permissions for the rest. Ends with 1 if there is a problem or a warning.
            """
    )

    @OptionGroup(title: "Broker") var broker: BrokerOptions

    @Option(help: ArgumentHelp("A group whose dead letters are checked. May be repeated.", valueName: "group"))
    var group: [String] = []

    @Option(help: ArgumentHelp("The queue of a subscription, GROUP.NAME. May be repeated.", valueName: "queue"))
    var queue: [String] = []

    @Option(
        help: ArgumentHelp(
            "A topology that a service wrote, with its groups and queues. May be repeated.",
            valueName: "file"
        )
    )
    var topology: [String] = []

    @Option(
        help: ArgumentHelp(
            """
            The broker's management API: http://[user:password@]host:15672. The default login is that of the broker, but \
            only on this machine if the broker is reached with TLS.
            """,
            valueName: "uri"
        )
    )
    var management: String?

    @Flag(help: "Send the broker's password to the management API without encryption, although the broker has TLS.")
    var insecure = false

    @Option(help: ArgumentHelp("How long to watch whether queues get shorter.", valueName: "seconds"))
    var watch = 3.0

    @OptionGroup var output: OutputOptions

    /// The number of inspections.
    private static let inspections = 4

    func validate() throws {
        guard watch >= 0, watch <= 3600 else { throw ValidationError("--watch takes 0 to 3600 seconds.") }
        for problem in group.compactMap(BrokerName.problem(ofGroup:)) { throw ValidationError("--group \(problem).") }
        for problem in queue.compactMap(BrokerName.problem(ofQueue:)) { throw ValidationError("--queue \(problem).") }
    }

    func run() async throws {
        let environment = ProcessInfo.processInfo.environment
        let file = try broker.file(in: environment)
        let configuration = try broker.configuration(in: environment)
        let subscriptions = try TopologyFiles.topologies(topology).flatMap(\.topology.subscriptions)
        let report = try report(configuration)
        let found = report?.queues.filter { $0.group != nil } ?? []
        var queues = (queue.isEmpty ? file?.queues ?? [] : queue) + subscriptions.map(\.queue)
        queues += found.map(\.name).filter { !queues.contains($0) }.sorted()
        let named =
            (group.isEmpty ? file?.groups ?? [] : group) + subscriptions.map(\.group) + found.compactMap(\.group)
        // Unless another system named it, a queue's name begins with its group's.
        let described = Set(subscriptions.map(\.queue) + found.map(\.name))
        let groups = named + queues.filter { !described.contains($0) }.map { String($0.prefix { $0 != "." }) }
        let deadLetterQueues = Dictionary(groups.map { ($0, "\($0).dead") }) { first, _ in first }
        let names = queues + deadLetterQueues.values.sorted()

        let clock = ContinuousClock()
        let start = clock.now
        var inspections: [BrokerInspection] = []
        for number in 0..<Self.inspections {
            try await clock.sleep(until: start + .seconds(watch) * number / (Self.inspections - 1))
            inspections.append(
                try await RabbitTransport.inspect(queues: names, on: configuration, logger: broker.logger)
            )
        }
        let settings = report.map {
            ManagementExamination(
                report: $0,
                exchange: configuration.exchange,
                queues: Set(queues),
                groups: Set(groups)
            ).findings
        }
        let findings = Finding.sorted(
            Examination(
                exchange: configuration.exchange,
                inspections: inspections,
                period: .seconds(watch),
                deadLetterQueues: deadLetterQueues
            ).findings + (settings ?? [])
        )
        try print(findings)
        if names.isEmpty {
            StandardError.line("eventbus: only shared objects were checked; name queues with --queue and --group")
        }
        if findings.contains(where: { $0.level != .note }) { throw CommandFailure.partial }
    }

    /// Returns the report of the management API, or `nil` if none is named.
    private func report(_ configuration: RabbitConfiguration) throws -> ManagementReport? {
        guard let management else { return nil }
        let client = try ManagementClient(
            url: management,
            of: configuration,
            isInsecure: insecure,
            timeout: .seconds(broker.timeout)
        )
        return try ManagementReport(client, virtualHost: configuration.virtualHost)
    }

    private func print(_ findings: [Finding]) throws {
        if output.json {
            for finding in findings { try StandardOutput.json(finding) }
            return
        }
        for finding in findings {
            StandardOutput.text(
                "\(label(finding.level))  \(finding.subject.printable): \(finding.message.printable)"
            )
            if let remedy = finding.remedy { StandardOutput.line("         → \(remedy)") }
        }
    }

    private func label(_ level: Finding.Level) -> String {
        let text = level.rawValue + String(repeating: " ", count: 7 - level.rawValue.count)
        guard output.isColoured else { return text }
        let colour =
            switch level {
            case .problem: "31"
            case .warning: "33"
            case .note: "32"
            }
        return "\u{1B}[\(colour)m\(text)\u{1B}[0m"
    }
}
