import ArgumentParser
import EventBus
import EventBusRabbit
import Foundation
import Testing

@testable import EventBusCommands

/// The configuration of the transport from a file.
struct BrokerOptionsTests {
    private func configuration(_ text: String) throws -> RabbitConfiguration {
        let file = FileManager.default.temporaryDirectory.appending(path: "options-\(UUID().uuidString).json")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data(text.utf8).write(to: file)
        return try BrokerOptions.parse(["--config", file.path(percentEncoded: false)]).configuration(in: [:])
    }

    @Test func `sections and whole numbers of seconds are read`() throws {
        let read = try configuration(
            #"{"uri": "amqp://a:b@h/v", "heartbeat": 7, "reconnect": {"maximum": 2.5}, "exchange": "shop", "user": null}"#
        )
        #expect(read.virtualHost == "v")
        #expect(read.heartbeat == .seconds(7))
        #expect(read.reconnect.maximum == .milliseconds(2500))
        #expect(read.exchange == "shop")
        let scoped = try configuration(
            #"{"rabbitmq": {"uri": "amqps://a:b@h/v", "tls": {"caFile": "/ca.pem"}}, "groups": []}"#
        )
        #expect(scoped.tls?.caFile == "/ca.pem")
    }

    @Test(arguments: [
        (#""exchnage": "shop""#, #"there is no key "exchnage""#), (#""exchange": 7"#, #""exchange" is not a text"#),
        (#""maximumBodySize": "1M""#, #""maximumBodySize" is not a whole number"#),
        (#""heartbeat": "10""#, #""heartbeat" is not a number"#), (#""tls": true"#, #"there is no key "tls""#),
        (#""tls": {"cafile": "x"}"#, #"there is no key "tls.cafile""#), (#""client..Name": "x""#, "there is no key"),
        (#""reconnect": {"initial": 1}, "reconnect.initial": 2"#, #""reconnect.initial" is given twice"#),
        (#""allowedReplyQueues": ["a", 1]"#, "is not an array of texts"),
        (#""rabbitmq": {"exchange": "a"}"#, #""uri" is beside "rabbitmq""#),
    ])
    func `a key or value that would be ignored is refused`(members: String, reason: String) throws {
        let failure = #expect(throws: CommandFailure.self) {
            try configuration(#"{"uri": "amqp://a:b@h/v", \#(members)}"#)
        }
        #expect(failure?.status == CommandFailure.invalidConfiguration)
        #expect(failure?.message.contains(reason) == true, "\(failure?.message ?? "")")
    }

    @Test func `every documented key is known with its kind`() throws {
        let root = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
        let source = try String(
            contentsOfFile: "/\(root)/Sources/EventBusRabbit/Configuration/RabbitConfiguration+ConfigReader.swift",
            encoding: .utf8
        )
        var documented: [String: String] = [:]
        for line in source.split(separator: "\n") where line.contains("/// | `") {
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            documented[cells[1].replacing("`", with: "")] = cells[2]
        }
        #expect(documented.count > 20)
        // It is an error with a sentence of its own.
        #expect(Set(ConfigurationKey.all.keys).subtracting(["tls.serverName"]) == Set(documented.keys))
        for (name, kind) in documented {
            let known = try #require(ConfigurationKey.all[name])
            let expected: ConfigurationKey.Kind =
                switch kind.split(separator: ",")[0] {
                case "double": .number
                case "int": .integer
                case "bool": .flag
                case "string array": .texts
                default: .text
                }
            #expect(known.kind == expected, "\(name)")
            #expect(known.isSecret == kind.contains("secret"), "\(name)")
        }
    }
}
