"""What Ansible loads: the bundle module with its action, the code both it and nodes run, and the inventory."""
