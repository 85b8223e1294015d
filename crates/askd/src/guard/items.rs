//! The tree of a command, laid out as a list of what is to be looked at.
//!
//! What runs under a condition, in a loop or in a function counts as run: which branch is taken is not known.

use brush_parser::ast::{
    Command, CommandPrefixOrSuffixItem, CompoundCommand, CompoundList, ExtendedTestExpr, IoFileRedirectTarget,
    IoHereDocument, IoRedirect, Program, SimpleCommand, Word,
};

/// Where a command's standard input comes from, if from the same text.
#[derive(Clone, Copy)]
pub(super) enum Stdin<'a> {
    None,
    /// From this command.
    Pipe(&'a Command),
    Document(&'a IoHereDocument),
    Text(&'a Word),
}

pub(super) enum Item<'a> {
    Simple(&'a SimpleCommand, Stdin<'a>),
    For(&'a str, &'a [Word]),
    Function(&'a str),
    /// Something that is expanded, and may so start programs.
    Word(&'a Word),
    Document(&'a IoHereDocument),
    Arithmetic(&'a str),
}

pub(super) fn items(program: &Program) -> Vec<Item<'_>> {
    let mut items = Items(Vec::new());
    for list in &program.complete_commands {
        items.list(list, Stdin::None);
    }
    items.0
}

struct Items<'a>(Vec<Item<'a>>);

impl<'a> Items<'a> {
    fn list(&mut self, list: &'a CompoundList, stdin: Stdin<'a>) {
        for item in &list.0 {
            for (_, pipeline) in &item.0 {
                let mut before = None;
                for command in &pipeline.seq {
                    self.command(command, before.map_or(stdin, Stdin::Pipe));
                    before = Some(command);
                }
            }
        }
    }

    fn command(&mut self, command: &'a Command, stdin: Stdin<'a>) {
        match command {
            Command::Simple(simple) => self.simple(simple, stdin),
            Command::Compound(compound, redirects) => {
                let own = self.redirects(redirects.iter().flat_map(|list| &list.0));
                self.compound(compound, own.unwrap_or(stdin));
            }
            Command::Function(function) => {
                self.0.push(Item::Function(&function.fname.value));
                let own = self.redirects(function.body.1.iter().flat_map(|list| &list.0));
                self.compound(&function.body.0, own.unwrap_or(stdin));
            }
            Command::ExtendedTest(test, redirects) => {
                self.redirects(redirects.iter().flat_map(|list| &list.0));
                self.test(&test.expr);
            }
        }
    }

    fn simple(&mut self, simple: &'a SimpleCommand, stdin: Stdin<'a>) {
        let parts =
            || simple.prefix.iter().flat_map(|list| &list.0).chain(simple.suffix.iter().flat_map(|list| &list.0));
        let own = self.redirects(parts().filter_map(|part| match part {
            CommandPrefixOrSuffixItem::IoRedirect(redirect) => Some(redirect),
            _ => None,
        }));
        for part in parts() {
            if let CommandPrefixOrSuffixItem::ProcessSubstitution(_, shell) = part {
                self.list(&shell.list, Stdin::None);
            }
        }
        self.0.push(Item::Simple(simple, own.unwrap_or(stdin)));
    }

    /// Standard input, if one of them gives it.
    fn redirects(&mut self, redirects: impl Iterator<Item = &'a IoRedirect>) -> Option<Stdin<'a>> {
        let mut stdin = None;
        for redirect in redirects {
            match redirect {
                IoRedirect::File(
                    _,
                    _,
                    IoFileRedirectTarget::Filename(word) | IoFileRedirectTarget::Duplicate(word),
                )
                | IoRedirect::OutputAndError(word, _) => self.0.push(Item::Word(word)),
                IoRedirect::File(_, _, IoFileRedirectTarget::ProcessSubstitution(_, shell)) => {
                    self.list(&shell.list, Stdin::None);
                    stdin = last(&shell.list).map(Stdin::Pipe).or(stdin);
                }
                IoRedirect::File(..) => {}
                IoRedirect::HereDocument(_, document) => {
                    self.0.push(Item::Document(document));
                    stdin = Some(Stdin::Document(document));
                }
                IoRedirect::HereString(_, word) => {
                    self.0.push(Item::Word(word));
                    stdin = Some(Stdin::Text(word));
                }
            }
        }
        stdin
    }

    fn compound(&mut self, compound: &'a CompoundCommand, stdin: Stdin<'a>) {
        match compound {
            CompoundCommand::Arithmetic(arithmetic) => self.0.push(Item::Arithmetic(&arithmetic.expr.value)),
            CompoundCommand::ArithmeticForClause(clause) => {
                for part in [&clause.initializer, &clause.condition, &clause.updater].into_iter().flatten() {
                    self.0.push(Item::Arithmetic(&part.value));
                }
                self.list(&clause.body.list, stdin);
            }
            CompoundCommand::BraceGroup(group) => self.list(&group.list, stdin),
            CompoundCommand::Subshell(shell) => self.list(&shell.list, stdin),
            CompoundCommand::ForClause(clause) => {
                self.0.push(Item::For(&clause.variable_name, clause.values.as_deref().unwrap_or_default()));
                self.list(&clause.body.list, stdin);
            }
            CompoundCommand::CaseClause(clause) => {
                self.0.push(Item::Word(&clause.value));
                for case in &clause.cases {
                    self.0.extend(case.patterns.iter().map(Item::Word));
                    case.cmd.iter().for_each(|list| self.list(list, stdin));
                }
            }
            CompoundCommand::IfClause(clause) => {
                self.list(&clause.condition, stdin);
                self.list(&clause.then, stdin);
                for branch in clause.elses.iter().flatten() {
                    branch.condition.iter().for_each(|list| self.list(list, stdin));
                    self.list(&branch.body, stdin);
                }
            }
            CompoundCommand::WhileClause(clause) | CompoundCommand::UntilClause(clause) => {
                self.list(&clause.0, stdin);
                self.list(&clause.1.list, stdin);
            }
            CompoundCommand::Coprocess(process) => self.command(&process.body, stdin),
        }
    }

    fn test(&mut self, test: &'a ExtendedTestExpr) {
        match test {
            ExtendedTestExpr::And(left, right) | ExtendedTestExpr::Or(left, right) => {
                self.test(left);
                self.test(right);
            }
            ExtendedTestExpr::Not(inner) | ExtendedTestExpr::Parenthesized(inner) => self.test(inner),
            ExtendedTestExpr::UnaryTest(_, word) => self.0.push(Item::Word(word)),
            ExtendedTestExpr::BinaryTest(_, left, right) => self.0.extend([Item::Word(left), Item::Word(right)]),
        }
    }
}

/// The command whose output a list ends with.
pub(super) fn last(list: &CompoundList) -> Option<&Command> {
    let [item] = &*list.0 else { return None };
    let mut pipelines = item.0.into_iter();
    let (_, pipeline) = pipelines.next()?;
    match (&*pipeline.seq, pipelines.next()) {
        ([command], None) => Some(command),
        _ => None,
    }
}
