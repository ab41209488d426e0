import ArgumentParser

/// The commands for dead letters.
struct DeadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dead",
        abstract: "Shows dead letters, puts them back, moves, saves or removes them.",
        discussion: """
            Reading changes nothing: the dead letters return to their queue at the end of each pass. While one pass \
            reads them, another one sees fewer.
            """,
        subcommands: [
            DeadGroupsCommand.self, DeadListCommand.self, DeadShowCommand.self, DeadReplayCommand.self,
            DeadMoveCommand.self, DeadExportCommand.self, DeadImportCommand.self, DeadDiscardCommand.self,
            DeadTestCommand.self,
        ]
    )
}
