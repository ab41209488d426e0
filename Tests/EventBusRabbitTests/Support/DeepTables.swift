@testable import EventBusRabbit

/// Tables and arrays in tables, to any depth.
enum DeepTables {
    /// A Boolean value indicating whether the linked librabbitmq decodes them. Version 0.15 refuses a frame that nests too
    /// deeply.
    static var areDecoded: Bool {
        LinkedLibrary.version.split(separator: ".").dropFirst().first.flatMap { Int($0) }.map { $0 < 15 } ?? true
    }
}
