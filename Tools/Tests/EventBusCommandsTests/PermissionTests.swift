import EventBus
import EventBusRabbit
import Foundation
import Testing

/// The sentences and exit codes for users without a permission, none of which contains the password.
@Suite(.enabled(if: TestBroker.isThere), .timeLimit(.minutes(5)))
struct PermissionTests {
    /// A user, and what it may not do.
    enum User: String, Sendable, CaseIterable {
        /// A user without any permission.
        case none
        /// A user that may read dead letters and nothing else.
        case reader

        func permissions(_ group: String) -> [String] {
            switch self {
            case .none: ["^$", "^$", "^$"]
            case .reader: ["^$", "^$", "^\(group)\\.dead$"]
            }
        }
    }

    /// The commands, the user that runs them, and a word of the sentence. `GROUP`, `NEW`, `OLD` and `LETTERS` stand for the
    /// group and for files.
    static let refused: [(arguments: String, user: User, words: String)] = [
        ("dead groups --group GROUP", .none, "GROUP.dead"),
        ("dead list --group GROUP", .none, "GROUP.dead"),
        ("dead show event-1 --group GROUP", .none, "GROUP.dead"),
        ("dead export --group GROUP", .none, "GROUP.dead"),
        ("dead test event-1 --group GROUP", .none, "GROUP.dead"),
        ("dead replay --all --group GROUP", .none, "GROUP.dead"),
        ("dead replay --all --group GROUP", .reader, "amq.default"),
        ("dead move --to GROUP.renamed --all --group GROUP", .none, "GROUP.dead"),
        ("dead move --to GROUP.renamed --all --group GROUP", .reader, "amq.default"),
        ("dead discard --all --yes --group GROUP", .none, "GROUP.dead"),
        ("dead import LETTERS", .reader, "eventbus.dead.v1"),
        ("story order-1 --group GROUP", .none, "GROUP.dead"),
        ("topology diff NEW", .reader, "GROUP"),
        ("topology plan NEW --former OLD", .reader, "GROUP"),
        ("topology apply NEW", .reader, "GROUP"),
        ("topology retire NEW --former OLD", .reader, "GROUP.orders"),
        ("publish GROUP.created --data {}", .reader, "events-GROUP"),
        ("tail GROUP.#", .reader, "eventbus-tool.observer"),
        ("bench --duration 1", .reader, "eventbus-tool.observer"),
    ]

    @Test func `every command names the permission that its user lacks, and changes nothing`() async throws {
        let site = try await Site()
        for (arguments, user, words) in Self.refused {
            let outcome = try await site.run(arguments, as: user)
            #expect(outcome.status == 77, "\(user): eventbus \(arguments): \(outcome)")
            let asksForPermission = ["the permission", "the right"].contains {
                outcome.errors.contains("grant the user \($0)")
            }
            #expect(asksForPermission, "\(user): eventbus \(arguments): \(outcome.errors)")
            #expect(
                outcome.errors.contains(words.replacing("GROUP", with: site.scene.group)),
                "\(user): eventbus \(arguments): \(outcome.errors)"
            )
            #expect(outcome.errors.hasPrefix("eventbus: "), "\(outcome.errors)")
            #expect(!outcome.text.contains(Site.password))
        }
        let server = try FixedServer(["/api/overview": (401, #"{"reason":"Not management user"}"#)])
        let doctor = try await site.run(
            "doctor --group GROUP --watch 0 --management http://127.0.0.1:\(server.port)",
            as: .none
        )
        #expect(doctor.status == 77, "\(doctor)")
        #expect(doctor.errors.contains("set_user_tags USER monitoring"), "\(doctor.errors)")
        #expect(!doctor.text.contains(Site.password))
        #expect(try await site.scene.count("\(site.scene.group).dead") == 3)
        #expect(try await site.scene.count("\(site.scene.group).orders") == 0)
    }
}

/// A group with dead letters, users and files.
private struct Site: Sendable {
    static let password = "hunter2"

    let scene: Scene
    private let folder: URL

    init() async throws {
        scene = try await Scene()
        folder = FileManager.default.temporaryDirectory.appending(path: scene.group)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try await scene.add((0..<3).map { try scene.letter($0) })
        for user in PermissionTests.User.allCases {
            try await TestBroker.control("add_user", name(of: user), Self.password)
            let permissions = user.permissions(scene.group)
            try await TestBroker.control(
                "set_permissions",
                name(of: user),
                permissions[0],
                permissions[1],
                permissions[2]
            )
        }
        for (file, name) in [("OLD", "orders"), ("NEW", "fresh")] {
            let queue = QueueSpecification(
                group: scene.group,
                name: name,
                patterns: [try TopicPattern(validating: "\(scene.group).#")],
                prefetch: 1
            )
            try RabbitTopology(of: [queue], with: scene.configuration).write(to: path(file))
        }
        let letters = try await scene.run("dead", "export")
        try Data(letters.output.utf8).write(to: URL(filePath: path("LETTERS")))
    }

    private func name(of user: PermissionTests.User) -> String { "\(scene.group)-\(user.rawValue)" }

    private func path(_ file: String) -> String { folder.appending(path: file).path(percentEncoded: false) }

    /// Runs a command as a user.
    func run(_ arguments: String, as user: PermissionTests.User) async throws -> Tool.Outcome {
        let address = try #require(TestBroker.url?.split(separator: "@").last)
        var words = arguments.replacing("GROUP", with: scene.group).split(separator: " ").map(String.init)
        words = words.map { ["NEW", "OLD", "LETTERS"].contains($0) ? path($0) : $0 }
        let exchange = words.first == "topology" ? [] : ["--exchange", scene.exchange]
        return try await Tool.run(
            words + exchange + ["--url", "amqp://\(name(of: user))@\(address)", "--timeout", "10"],
            environment: ["EVENTBUS_PASSWORD": Self.password]
        )
    }
}
