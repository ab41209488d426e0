// swift-tools-version: 6.2

import PackageDescription

let eventBus: Target.Dependency = .product(name: "EventBus", package: "swift-event-bus")
let eventBusRabbit: Target.Dependency = .product(name: "EventBusRabbit", package: "swift-event-bus")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let configuration: Target.Dependency = .product(name: "Configuration", package: "swift-configuration")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let signals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")

// `Scripts/package` compiles the library once for all packages, with the same traits.
let isSharedBuild = Context.environment["EVENTBUS_SHARED_BUILD"] != nil

let package = Package(
    name: "swift-event-bus-tools",
    products: [
        .executable(name: "eventbus", targets: ["EventBusTool"]),
        // For the examples, which write to terminals too.
        .library(name: "TerminalText", targets: ["TerminalText"]),
        // For the examples, which tell the stories of orders too.
        .library(name: "EventStory", targets: ["EventStory"]),
    ],
    dependencies: [
        .package(name: "swift-event-bus", path: "..", traits: isSharedBuild ? [.defaults] : []),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.0.0", traits: []),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.3"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.8.0"),
    ],
    targets: [
        .target(name: "TerminalText"),
        .target(name: "EventStory", dependencies: ["TerminalText", eventBus]),
        .target(
            name: "EventBusCommands",
            dependencies: [
                "TerminalText", "EventStory", eventBus, eventBusRabbit, arguments, configuration, logging, signals,
            ]
        ),
        .executableTarget(name: "EventBusTool", dependencies: ["EventBusCommands"]),
        .testTarget(name: "TerminalTextTests", dependencies: ["TerminalText"]),
        // It runs the program as a process, so the program has to be built with it.
        .testTarget(
            name: "EventBusCommandsTests",
            dependencies: [
                "EventBusCommands", "EventBusTool", "EventStory", "TerminalText", arguments, eventBus, eventBusRabbit,
                logging,
                // For the test that the program writes.
                .product(name: "EventBusInMemory", package: "swift-event-bus"),
                .product(name: "EventBusTesting", package: "swift-event-bus"),
            ]
        ),
    ],
    swiftLanguageModes: [.v6]
)

for target in package.targets {
    target.swiftSettings =
        (target.swiftSettings ?? []) + [
            .enableUpcomingFeature("ExistentialAny"),
            .enableUpcomingFeature("MemberImportVisibility"),
            .enableUpcomingFeature("InternalImportsByDefault"),
            .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
            .treatAllWarnings(as: .error),
            .treatWarning("DeprecatedDeclaration", as: .warning),
        ]
}
